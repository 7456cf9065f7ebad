"""Media types, and values read from bytes and written as bytes. No HTTP and no model in here."""
