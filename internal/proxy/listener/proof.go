package listener

import (
	"io"
	"time"

	"github.com/pillion-mesh/pillion/internal/istio"
	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

// ProofBytes is how long the nonce is with which the agent proves that capture works: it dials its pod's address at
// istio.PortProbe, and only capture's rules bring that to the inbound listener.
const ProofBytes = 16

// proofTimeout is how long the nonce may take.
const proofTimeout = 2 * time.Second

// isProof reports whether the connection is such a probe.
func (v *visit) isProof(name string) bool {
	return v.acceptor.Proof != nil && name == config.VirtualInbound && v.facts.Destination.Port() == istio.PortProbe
}

// proof reads the nonce; the connection is closed afterwards.
func (v *visit) proof() {
	var nonce [ProofBytes]byte
	_ = v.socket.SetReadDeadline(time.Now().Add(proofTimeout))
	if _, err := io.ReadFull(v.socket, nonce[:]); err == nil {
		v.acceptor.Proof(nonce, v.facts.Destination)
	}
}
