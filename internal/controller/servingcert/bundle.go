package servingcert

import (
	"bytes"
	"cmp"
	"crypto/x509"
	"slices"
	"time"
)

// bundle is the PEM of those certificates that are still valid, by subject, none twice. If time has run out for all of
// them, all are kept: an empty caBundle would make the API server trust its own roots instead.
func bundle(certificates []*x509.Certificate, now time.Time) []byte {
	valid := make([]*x509.Certificate, 0, len(certificates))
	for _, c := range certificates {
		if validAt(c, now) {
			valid = append(valid, c)
		}
	}
	if len(valid) == 0 {
		valid = append(valid, certificates...)
	}
	slices.SortFunc(valid, func(a, b *x509.Certificate) int {
		return cmp.Or(cmp.Compare(a.Subject.CommonName, b.Subject.CommonName), bytes.Compare(a.Raw, b.Raw))
	})
	valid = slices.CompactFunc(valid, func(a, b *x509.Certificate) bool { return bytes.Equal(a.Raw, b.Raw) })
	var text []byte
	for _, c := range valid {
		text = append(text, encodeCertificate(c)...)
	}
	return text
}
