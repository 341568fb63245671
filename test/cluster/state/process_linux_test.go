package state

import "testing"

func TestParseStat(t *testing.T) {
	for name, test := range map[string]struct {
		stat, start string
		zombie, bad bool
	}{
		"plain":             {stat: "7 (sh) S 1 7 7 0 -1 4 1 2 3 4 5 6 7 8 20 0 1 0 4242 9 9", start: "4242"},
		"odd command":       {stat: "7 (a) b) Z 1 (x) S 1 7 7 0 -1 4 1 2 3 4 5 6 7 8 20 0 1 0 4242 9", start: "4242"},
		"zombie":            {stat: "7 (sh) Z 1 7 7 0 -1 4 1 2 3 4 5 6 7 8 20 0 1 0 4242 9 9", start: "4242", zombie: true},
		"cut off":           {stat: "7 (sh) S 1 7", bad: true},
		"no command":        {stat: "7", bad: true},
		"nothing":           {stat: "", bad: true},
		"command never end": {stat: "7 (sh", bad: true},
	} {
		t.Run(name, func(t *testing.T) {
			start, zombie, err := parseStat([]byte(test.stat))
			if (err != nil) != test.bad || start != test.start || zombie != test.zombie {
				t.Errorf("got %q, zombie %t, %v", start, zombie, err)
			}
		})
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte("7 (sh) S 1 7 7 0 -1 4 1 2 3 4 5 6 7 8 20 0 1 0 4242 9 9"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if start, _, err := parseStat(data); err == nil && start == "" {
			t.Error("no start time and no error")
		}
	})
}
