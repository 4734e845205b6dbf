"""Exchange of networks with other codebases: their configurations and the names and layouts of their weights."""
