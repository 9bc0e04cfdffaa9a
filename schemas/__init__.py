"""What the data is: the model space, table schemas, expectation suites and the training manifest."""
