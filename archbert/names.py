"""The owner of all repositories on the Hub: to publish under another name for good, change it here."""

NAMESPACE = "archbert"
