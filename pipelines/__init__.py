"""The DAGs, their compilation, and the command line."""
