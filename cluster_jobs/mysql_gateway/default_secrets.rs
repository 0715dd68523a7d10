//! What stays at mysql_gateway as the release has it, known to everybody.

use crate::job::DefaultSecret;

const CONFIGURATION: &[&str] = &[
    "mysql_gateway/jobs/mysql_gateway.yml.erb",
    "jobs/mysql_gateway/mysql_gateway.yml.erb",
];

/// It stands in three places, and the cloud controller has it in its database.
const TOKEN: &str = "write one of your own into token, service_auth_tokens.mysql_core and bin/paas in your \
     release, and tell it the cloud controller (`cf create-service-auth-token`)";

pub const STAYING: &[DefaultSecret] = &[
    DefaultSecret::written(
        "the token 0xdeadbeef, with which anybody who reaches the gateway can have databases made \
         and removed",
        CONFIGURATION,
        &["token:", "0xdeadbeef"],
        TOKEN,
    ),
    DefaultSecret::written(
        "the token 0xdeadbeef, with which the gateway offers its service at the cloud controller",
        CONFIGURATION,
        &["mysql_core:", "0xdeadbeef"],
        TOKEN,
    ),
    DefaultSecret::written(
        "the token 0xdeadbeef, which `bin/paas init` gives to the cloud controller",
        &["bin/paas"],
        &["create-service-auth-token", "0xdeadbeef"],
        TOKEN,
    ),
    DefaultSecret::left_out(
        "no password at the redis beside the gateway, which listens at every address at port 5454",
        &["redis/jobs/redis.conf.erb", "jobs/redis/redis.conf.erb"],
        "bind ",
        "add the line `bind 127.0.0.1` to this file in your release: the gateway asks it there",
    ),
];
