"""Log indices made anew from what Kafka still has, and put in place of the old ones in one step each."""
