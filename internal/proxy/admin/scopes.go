package admin

// Scopes are the loggers people know from Envoy. Those of parts this proxy hasn't got are there too: a script that sets
// them shall not fail.
var Scopes = []string{
	"admin", "alternate_protocols_cache", "aws", "assert", "backtrace", "cache_filter", "client", "config", "conn_handler",
	"connection", "decompression", "dns", "dynamic_forward_proxy", "envoy_bug", "ext_authz", "ext_proc", "file", "filter",
	"forward_proxy", "grpc", "happy_eyeballs", "hc", "health_checker", "http", "http2", "hystrix", "init", "io", "jwt",
	"kafka", "key_value_store", "lua", "main", "matcher", "misc", "mongo", "multi_connection", "oauth2", "pool", "quic",
	"quic_stream", "rate_limit_quota", "rbac", "rds", "redis", "rocketmq", "router", "runtime", "secret", "stats", "tap",
	"testing", "thrift", "tracing", "udp", "upstream", "wasm", "websocket",
}
