"""A rebuild as a proof: the committed state is built again elsewhere, and every number and file of its report judged."""
