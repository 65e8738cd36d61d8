"""The notifier: carries notifications to their receivers, each incident's message once, whatever fails."""
