# Says who somebody is: hands out the tokens that the cloud controller checks.
keep_secret uaa_token_secret {{ uaa_token_secret }}
keep_secret uaa_admin_password {{ uaa_admin_password }}
paas uaa start
