package telemetry

import "sync/atomic"

// Status codes are counted in pages of 25: a cluster that has seen 200 and 503 has two pages.
const (
	firstCode = 100
	lastCode  = 599
	codePage  = 25
	codePages = (lastCode - firstCode + 1) / codePage
)

// responses counts answers by their status, one by one and by class.
type responses struct {
	classes   [5]Counter `stat:"1xx,2xx,3xx,4xx,5xx"`
	completed Counter    `stat:"completed"`
	pages     [codePages]atomic.Pointer[[codePage]Counter]
}

// count counts an answer. A status no answer may have counts as completed only.
func (r *responses) count(status int, codes bool) {
	r.completed.Add(1)
	if status < firstCode || status > lastCode {
		return
	}
	r.classes[status/100-1].Add(1)
	if codes {
		r.code(status - firstCode).Add(1)
	}
}

func (r *responses) code(i int) *Counter {
	page := &r.pages[i/codePage]
	if page.Load() == nil {
		page.CompareAndSwap(nil, new([codePage]Counter))
	}
	return &page.Load()[i%codePage]
}

// eachCode calls f with each code that was counted.
func (r *responses) eachCode(f func(status int, c *Counter)) {
	for p := range r.pages {
		page := r.pages[p].Load()
		if page == nil {
			continue
		}
		for i := range page {
			if page[i].Load() > 0 {
				f(firstCode+p*codePage+i, &page[i])
			}
		}
	}
}
