package cel

import "testing"

// common are expressions as people filter logs with.
var common = []string{
	`response.code >= 400`,
	`response.code in [502, 503] && request.method == 'GET'`,
	`request.headers['user-agent'] == 'curl' || request.url_path.startsWith('/healthz')`,
	`!has(request.referer) && request.duration > duration('1s') && connection.mtls`,
	`metadata.filter_metadata['f']['n'] == 1.5 && metadata.filter_metadata.f.s.startsWith('t')`,
	`request.path.matches('^/p/.*a=') ? response.flags != 0 : response.size + request.size > 100`,
}

// TestAllocates: a line of a log costs no memory to judge.
func TestAllocates(t *testing.T) {
	x := exchange()
	for _, text := range common {
		e, err := Compile(text)
		if err != nil {
			t.Fatal(err)
		}
		if !e.Match(x) {
			t.Errorf("%s isn't true", text)
		}
		if n := testing.AllocsPerRun(100, func() { e.Match(x) }); n >= 1 && !raced {
			t.Errorf("%s allocates %v times", text, n)
		}
	}
}

func BenchmarkMatch(b *testing.B) {
	x := exchange()
	for _, text := range common {
		b.Run(text, func(b *testing.B) {
			e, err := Compile(text)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				e.Match(x)
			}
		})
	}
}

// BenchmarkCELGo is what the same costs with cel-go, once its values are there.
func BenchmarkCELGo(b *testing.B) {
	r, all := newReference(b), activation(exchange())
	for _, text := range common {
		b.Run(text, func(b *testing.B) {
			program, err := r.compile(text)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				_, _, _ = program.Eval(all)
			}
		})
	}
}
