"""What a name or a folder of pictures means: named sets, downloads, pairs, splits, audits."""
