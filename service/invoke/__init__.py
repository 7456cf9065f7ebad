"""Operations that answer a prediction."""
