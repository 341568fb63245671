package probe

import (
	"cmp"
	"context"
	"slices"
)

// perReplica is how many rounds there are for each replica. A Service picks at random: with so many, one of 16 replicas is
// left out once in a thousand times.
const perReplica = 10

// Cover probes until each of the replicas has answered, one round after the other, and ends early when an API server
// can't call the webhook. There is one Answer, the latest, for each pair of API server and replica.
func (p *Prober) Cover(ctx context.Context, replicas []string) ([]Answer, error) {
	answers, err := p.Probe(ctx)
	if err != nil {
		return nil, err
	}
	latest := map[[2]string]Answer{}
	for rounds := 1; ; rounds++ {
		for _, a := range answers {
			latest[[2]string{a.Server, a.Replica}] = a
		}
		again := reached(answers) // others would hold up each round
		if failed(answers) || len(again) == 0 || covered(latest, replicas) || rounds > perReplica*len(replicas) || ctx.Err() != nil {
			return sorted(latest), ctx.Err()
		}
		if answers, err = p.each(ctx, again); err != nil {
			return nil, err
		}
	}
}

func failed(answers []Answer) bool {
	return slices.ContainsFunc(answers, func(a Answer) bool { return a.Reached && a.Fault != nil })
}

func covered(answers map[[2]string]Answer, replicas []string) bool {
	seen := map[string]bool{}
	for _, a := range answers {
		seen[a.Replica] = true
	}
	return !slices.ContainsFunc(replicas, func(name string) bool { return !seen[name] })
}

func sorted(answers map[[2]string]Answer) []Answer {
	all := make([]Answer, 0, len(answers))
	for _, a := range answers {
		all = append(all, a)
	}
	slices.SortFunc(all, func(a, b Answer) int {
		return cmp.Or(cmp.Compare(a.Server, b.Server), cmp.Compare(a.Replica, b.Replica))
	})
	return all
}
