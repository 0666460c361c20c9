// One device serves all tests, and its two threads wait for each other: beside other tests they wait longer.
[assembly: CollectionBehavior(DisableTestParallelization = true)]
