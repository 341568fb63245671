package admin

import "time"

// certsNow is when the certificates of tests are looked at.
var certsNow = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

// testCerts are a trust bundle and a chain, and a bundle alone that has expired.
func testCerts() []Certificates {
	root := Certificate{Serial: "ff", ValidFrom: certsNow.Add(-day), Expires: certsNow.Add(3650 * day)}
	old := Certificate{Path: "/etc/ssl/ca.pem", Serial: "1", ValidFrom: certsNow.Add(-9 * day), Expires: certsNow.Add(-day)}
	leaf := Certificate{
		Path: "default", Serial: "abcdef", ValidFrom: certsNow.Add(-time.Hour), Expires: certsNow.Add(23 * time.Hour),
		Names: []SubjectName{{DNS: "shop"}, {URI: "spiffe://cluster.local/ns/shop/sa/shop"}, {IP: "10.0.0.1"}},
	}
	return []Certificates{{Trust: []Certificate{root}, Chain: []Certificate{leaf}}, {Trust: []Certificate{old}}}
}
