"""An exchange in a box: a system under test, reached only by network and processes."""
