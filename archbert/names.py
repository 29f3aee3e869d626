"""The owner of all repositories on the Hub, and the version of this release: the places to change them."""

NAMESPACE = "archbert"
VERSION = "0.1.0"
TAG = f"v{VERSION}"
"""The tag of this release in every repository: what `revision=` pins."""
