"""What each step of the DAG does with its node: read inputs, call the study's function, write outputs."""
