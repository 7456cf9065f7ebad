"""What CloudWatch means by statistics, expressions and alarms. Pure."""
