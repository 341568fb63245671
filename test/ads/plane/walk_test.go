package plane

import (
	"strings"
	"testing"
)

func TestWalkCanBeServed(t *testing.T) {
	r, err := Walk(strings.NewReplacer("PEER4", "192.0.2.1", "PEER6", "192.0.2.2"))
	if err != nil {
		t.Fatal(err)
	}
	p := New()
	defer p.Close()
	if err := p.Set("1", r); err != nil {
		t.Error(err)
	}
}
