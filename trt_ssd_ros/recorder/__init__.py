"""The recorder: watches a running detector."""
