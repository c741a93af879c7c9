"""The commands of `spavl`, one file each; `pipelines.cli` puts them together."""
