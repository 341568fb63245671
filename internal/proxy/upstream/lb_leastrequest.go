package upstream

import (
	"math"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

const defaultChoices = 2

// leastRequest is LEAST_REQUEST: of a few hosts drawn by chance the one with the fewest requests under way. With equal
// weights that is all. With others hosts are drawn in proportion to their weights, and a host with a active requests is
// kept with odds of 1/(a+1)^bias against the others drawn: together weight / (a+1)^bias.
type leastRequest struct {
	members []member
	by      *alias
	choices int
	bias    float64
}

func newLeastRequest(usable []member, lb *config.LB) *leastRequest {
	choices := min(int(lb.Choices), len(usable)*2)
	if choices == 0 {
		choices = defaultChoices
	}
	return &leastRequest{members: usable, by: newAlias(weightsOf(usable)), choices: choices, bias: lb.Bias}
}

func (l *leastRequest) pick(d draw) *Host {
	if l.by != nil {
		return l.pickWeighted(d)
	}
	best := l.members[below(d.random, len(l.members))].host
	least := best.Active.Load()
	for i := 1; i < l.choices; i++ {
		d.random = mix(d.random)
		other := l.members[below(d.random, len(l.members))].host
		if n := other.Active.Load(); n < least {
			best, least = other, n
		}
	}
	return best
}

// pickWeighted keeps the k-th host drawn with the odds its load gives it among the first k.
func (l *leastRequest) pickWeighted(d draw) *Host {
	best := l.members[l.by.draw(d.random, len(l.members))].host
	sum := l.ease(best)
	for i := 1; i < l.choices; i++ {
		d.random = mix(d.random)
		other := l.members[l.by.draw(d.random, len(l.members))].host
		ease := l.ease(other)
		sum += ease
		d.random = mix(d.random)
		if float64(d.random>>11)*0x1p-53*sum < ease {
			best = other
		}
	}
	return best
}

// ease is 1/(active+1)^bias.
func (l *leastRequest) ease(h *Host) float64 {
	n := float64(max(h.Active.Load(), 0) + 1)
	switch l.bias {
	case 0:
		return 1
	case 1:
		return 1 / n
	default:
		return math.Pow(n, -l.bias)
	}
}
