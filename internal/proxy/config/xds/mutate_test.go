package xds

import (
	"flag"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/pillion-mesh/pillion/internal/proxy/config"
)

var mutations = flag.Int("mutations", 100, "how many mutants of each file of testdata/istiod to decode")

// TestMutated decodes mutants of what istiod sends: no panic, and answers within bounds. The fuzz targets go on where
// this ends.
func TestMutated(t *testing.T) {
	files, err := filepath.Glob("testdata/istiod/*_*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		t.Run(name, func(t *testing.T) {
			raw, decode := rawAs(t, name, istiod(t, name))
			good := 0
			for range *mutations {
				needs, err := decode(mutant(random, slices.Clone(raw), 1+random.IntN(3)))
				bounded(t, needs, err)
				if err == nil {
					good++
				}
			}
			t.Logf("%d of %d mutants are taken", good, *mutations)
		})
	}
}

// rawAs is a file's bytes with the decoder of its kind.
func rawAs(t *testing.T, name, text string) ([]byte, func([]byte) (Needs, error)) {
	t.Helper()
	switch kind, _, _ := strings.Cut(name, "_"); kind {
	case "listener":
		return listenerYAML(t, text), checked(t, func(raw []byte) (*config.Listener, Needs, error) { return Listener(raw, nil) }, checkListener)
	case "cluster":
		return clusterYAML(t, text), checked(t, func(raw []byte) (*config.Cluster, Needs, error) { return Cluster(raw, nil) }, checkCluster)
	case "routes":
		return routesYAML(t, text), checked(t, Routes, checkTable)
	default:
		return endpointsYAML(t, text), checked(t, Endpoints, checkHosts)
	}
}

// checked decodes and checks what must hold of all that is taken.
func checked[T any](t *testing.T, decode func([]byte) (*T, Needs, error), check func(*testing.T, *T)) func([]byte) (Needs, error) {
	return func(raw []byte) (Needs, error) {
		v, needs, err := decode(raw)
		if err == nil {
			check(t, v)
		}
		return needs, err
	}
}

// mutant changes fields of a message, at any depth, so that most mutants are still messages.
func mutant(random *rand.Rand, raw []byte, times int) []byte {
	for range times {
		raw = mutateField(random, raw, 0)
	}
	return raw
}

// mutateField changes one field: itself, or one inside of it.
func mutateField(random *rand.Rand, raw []byte, depth int) []byte {
	fields := split(raw)
	if len(fields) == 0 || random.IntN(20) == 0 {
		return noise(random, raw)
	}
	i := random.IntN(len(fields))
	number, kind, n := protowire.ConsumeTag(fields[i])
	if kind == protowire.BytesType && depth < 12 && random.IntN(6) > 0 {
		value, _ := protowire.ConsumeBytes(fields[i][n:])
		fields[i] = protowire.AppendBytes(protowire.AppendTag(nil, number, kind), mutateField(random, value, depth+1))
		return slices.Concat(fields...)
	}
	switch random.IntN(5) {
	case 0:
		fields = slices.Delete(fields, i, i+1)
	case 1:
		fields = slices.Insert(fields, i, fields[i])
	case 2:
		fields[i] = protowire.AppendVarint(protowire.AppendTag(nil, number, protowire.VarintType), random.Uint64()>>random.IntN(64))
	case 3:
		fields[i] = protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), nil)
	default:
		fields[i] = append(protowire.AppendTag(nil, protowire.Number(1+random.IntN(60)), kind), fields[i][n:]...)
	}
	return slices.Concat(fields...)
}

// split takes a message apart; nil if it is none.
func split(raw []byte) (out [][]byte) {
	for len(raw) > 0 {
		_, _, n := protowire.ConsumeField(raw)
		if n < 0 {
			return nil
		}
		out = append(out, raw[:n:n])
		raw = raw[n:]
	}
	return out
}

// noise changes a byte of a text or of what isn't a message.
func noise(random *rand.Rand, raw []byte) []byte {
	if len(raw) == 0 {
		return []byte{byte(random.IntN(256))}
	}
	raw[random.IntN(len(raw))] = `%*/\[{(:.0`[random.IntN(10)]
	return raw
}
