"""What a run will take, said before it is made, and whether there is as much."""
