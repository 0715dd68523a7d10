# Takes requests from outside and hands them to the applications, by their Host header.
paas router start
