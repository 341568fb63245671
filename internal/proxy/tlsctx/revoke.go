package tlsctx

import (
	"bytes"
	"crypto/x509"
	"errors"
	"time"
)

// notRevoked looks up each certificate of a chain, besides the root, in its issuer's revocation list. One good chain
// is enough. With any list configured every issuer must have one, as OpenSSL's CRL_CHECK_ALL has it: a missing list
// must not mean "nobody is revoked".
func (v *verifier) notRevoked(chains [][]*x509.Certificate, now time.Time) error {
	if len(v.trust.CRL) == 0 {
		return nil
	}
	var last error
	for _, chain := range chains {
		if last = v.chainNotRevoked(chain, now); last == nil {
			return nil
		}
	}
	return last
}

func (v *verifier) chainNotRevoked(chain []*x509.Certificate, now time.Time) error {
	for i := 0; i+1 < len(chain); i++ {
		if err := v.certificateNotRevoked(chain[i], chain[i+1], now); err != nil {
			return &VerifyError{Kind: Revoked, Detail: "verify cert failed", Err: err}
		}
	}
	return nil
}

var (
	errNoCRL      = errors.New("unable to get certificate CRL")
	errOldCRL     = errors.New("CRL has expired")
	errRevoked    = errors.New("certificate revoked")
	errCRLNotYet  = errors.New("CRL is not yet valid")
	errForgedList = errors.New("CRL signature failure")
)

func (v *verifier) certificateNotRevoked(c, issuer *x509.Certificate, now time.Time) error {
	err := errNoCRL
	for _, crl := range v.trust.CRL {
		if !bytes.Equal(crl.RawIssuer, issuer.RawSubject) {
			continue
		}
		if err = checkList(crl, c, issuer, now); err == nil || errors.Is(err, errRevoked) {
			return err
		}
	}
	return err
}

func checkList(crl *x509.RevocationList, c, issuer *x509.Certificate, now time.Time) error {
	switch {
	case crl.CheckSignatureFrom(issuer) != nil:
		return errForgedList
	case now.Before(crl.ThisUpdate):
		return errCRLNotYet
	case !crl.NextUpdate.IsZero() && now.After(crl.NextUpdate):
		return errOldCRL
	}
	for i := range crl.RevokedCertificateEntries {
		if crl.RevokedCertificateEntries[i].SerialNumber.Cmp(c.SerialNumber) == 0 {
			return errRevoked
		}
	}
	return nil
}
