# Takes requests from outside and hands them to the applications, by their Host header.
keep_secret router_status_password {{ router_status_password }}
paas router start
