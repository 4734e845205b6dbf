"""A rebuild as a proof: the committed state is built again, and every number and file of its report judged."""
