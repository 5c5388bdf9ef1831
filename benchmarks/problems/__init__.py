"""The field's own hard problems, with what is known of their solutions."""
