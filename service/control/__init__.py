"""Operations that change what should exist, and the loop that makes statuses follow what does."""
