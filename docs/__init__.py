"""The static site: `python -m docs` builds it, and `docs.labs` says which labs move there."""
