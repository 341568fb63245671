package pairs

import (
	"strings"
	"testing"
	"time"
)

func TestExpiring(t *testing.T) {
	ca := newCA(t, "ca")
	leaf := ca.server(t, from(-30*day, 60*day))
	p, err := FromSecret(secretOf(certPEM(leaf), leaf.keyPEM(t), certPEM(ca)), wanted, now)
	if err != nil {
		t.Fatal(err)
	}
	end := p.Ends
	for _, test := range []struct {
		name           string
		renewed        bool
		left, toldSpan time.Duration // told this long ago; 0: never
		says, due      bool
	}{
		{"young", false, 60 * day, 0, false, false},
		{"a bit more than a third", false, 30*day + time.Second, 0, false, false},
		{"a third", false, 30 * day, 0, true, true},
		{"told this morning", false, 30 * day, 23 * time.Hour, true, false},
		{"told yesterday", false, 20 * day, day, true, true},
		{"told in the future", false, 20 * day, -time.Hour, true, true},
		{"last day, told just now", false, 20 * time.Hour, 59 * time.Minute, true, false},
		{"last day, told an hour ago", false, 20 * time.Hour, time.Hour, true, true},
		{"over", false, -time.Hour, time.Hour, true, true},
		{"cert-manager is about to renew it", true, 30 * day, 0, false, false},
		{"cert-manager should have", true, 22 * day, 0, true, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			at := end.Add(-test.left)
			told := time.Time{}
			if test.toldSpan != 0 {
				told = at.Add(-test.toldSpan)
			}
			message, due := p.Expiring(test.renewed, at, told)
			if (message != "") != test.says || due != test.due {
				t.Fatalf("%q, %v", message, due)
			}
			if test.says && !strings.HasPrefix(message, "Secret ns/mine: ends at 2030-06-30T12:00:00Z; ") {
				t.Fatal(message)
			}
			if test.says && strings.Contains(message, "cert-manager") != test.renewed {
				t.Fatal(message)
			}
		})
	}
}
