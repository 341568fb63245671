package rotation

import "time"

// Times are all dwell times. They are values so that a test can live through a rotation in a second.
type Times struct {
	Look           time.Duration // between two looks when nothing goes on; no timer spans more, so a suspend costs this at most
	Retry          time.Duration // between two looks when something goes on
	Settle         time.Duration // how long bundles must have had a CA before it is served: API servers lag behind
	ProbeEvery     time.Duration // between two probes, and between two looks at what replicas serve
	ProbeOffSettle time.Duration // Settle where no probe proves that API servers have caught up
	Jitter         time.Duration // replicas change over within this
	Retire         time.Duration // how long the old CA is kept when nobody serves it any more
	Stale          time.Duration // knowledge older than this isn't acted on
	Nap            time.Duration // who didn't run for so long knows nothing until it has looked; no rotation is over sooner
	Spare          time.Duration // a leaf with less left is as good as ended
	Stuck          time.Duration // a phase that lasts this much longer than it must is told
	Skew           time.Duration // how far clocks may differ; certificates begin this much earlier
	Fast           time.Duration // Settle, Jitter and Retire of a rotation away from a compromised CA
}

// DefaultTimes are those of production.
func DefaultTimes() Times {
	return Times{
		Look: 30 * time.Second, Retry: time.Second, Settle: time.Minute, ProbeEvery: 5 * time.Second,
		ProbeOffSettle: 2 * time.Minute, Jitter: 30 * time.Second, Retire: time.Hour, Stale: 90 * time.Second, Nap: 5 * time.Second,
		Spare: 10 * time.Minute, Stuck: 30 * time.Minute, Skew: time.Hour, Fast: 5 * time.Second,
	}
}

// Of are the times of a rotation: those of a fast one are short. Without proof that API servers have caught up, it
// gives them as long as others with proof.
func (t Times) Of(s State) Times {
	if s.Fast {
		t.Settle, t.ProbeOffSettle = min(t.Settle, t.Fast), min(t.ProbeOffSettle, t.Settle)
		t.Jitter, t.Retire = min(t.Jitter, t.Fast), min(t.Retire, t.Fast)
	}
	return t
}
