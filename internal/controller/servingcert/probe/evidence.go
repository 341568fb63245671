package probe

import (
	"errors"
	"regexp"
)

// The annotations came over the network: only these forms of them are shown to anybody.
var (
	nonceForm   = regexp.MustCompile(`^[0-9a-f]{32}$`)
	replicaForm = regexp.MustCompile(`^[A-Za-z0-9][-A-Za-z0-9_.]{0,252}$`)
	caForm      = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
)

// evidence reads who answered, and with a leaf of which CA, from a Lease that came back.
func evidence(annotations map[string]string, nonce string) (replica, ca string, err error) {
	replica, ca = annotations[annotationReplica], annotations[annotationCA]
	switch answered := annotations[annotationNonce]; {
	case answered == "":
		return "", "", errors.New("it didn't call the webhook, perhaps because it doesn't know of it yet")
	case answered != nonce:
		return "", "", errors.New("the webhook's answer is that to another probe")
	case !replicaForm.MatchString(replica) || !caForm.MatchString(ca):
		return "", "", errors.New("the webhook's answer doesn't name a replica and a CA")
	}
	return replica, ca, nil
}
