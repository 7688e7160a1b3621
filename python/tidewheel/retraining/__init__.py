"""When to retrain, and on which rows. Pure: findings, past decisions and the time go in; a decision comes out."""
