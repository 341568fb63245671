package inject_test

import (
	"testing"

	"github.com/pillion-mesh/pillion/internal/inject"
)

func BenchmarkCompile(b *testing.B) {
	inj := injector("default", "default")
	op := operator()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := inject.Compile(&inj, op); err != nil {
			b.Fatal(err)
		}
	}
}
