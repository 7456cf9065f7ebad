"""The processes of the family: their loops and lives, handed their parts."""
