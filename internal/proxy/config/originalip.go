package config

// OriginalIP is one of original_ip_detection_extensions: how the client's address is found in a request. The first one that
// finds it counts.
type OriginalIP struct {
	Header string // custom_header, lower case; empty: x-forwarded-for
	// Of a custom header:
	Trusted bool   // the address may make the request internal
	Reject  uint32 // status of the answer to requests without it; 0: others are asked

	// Of x-forwarded-for:
	Hops   uint32 // xff_num_trusted_hops: so many proxies stand before the last one it names
	CIDRs  CIDRs  // xff_trusted_cidrs: or proxies are whoever is in these; empty: hops are counted
	Append bool   // the connection's peer is appended
}
