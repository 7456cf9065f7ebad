"""Who may call: keys made, kept in memory and looked up, signatures verified."""
