"""Other secrets for a deployment while it runs, and certificates before theirs expire (docs/machines-secrets.md)."""
