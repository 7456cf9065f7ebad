"""Batch transform's meaning: options, records, batches, filters, joins, names. Pure: bytes in, bytes out."""
