"""The networks, one file an idea, a dataclass config beside each."""
