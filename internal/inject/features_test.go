package inject_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// TestFeatures: each golden file is one feature, as what differs from the plain pod of testdata/inject/classic.yaml.
func TestFeatures(t *testing.T) {
	files, err := filepath.Glob("testdata/features/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files: %v", err)
	}
	plain := described(t, "testdata/inject/classic.yaml")
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			got := textDiff(plain, described(t, file))
			golden := strings.TrimSuffix(file, ".yaml") + ".diff"
			if *update {
				if err := os.WriteFile(golden, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%s differs from what we made (go test -run TestFeatures -update writes it):\n%s", golden, got)
			}
		})
	}
}

// described is what becomes of a file's pod, in lines.
func described(t *testing.T, file string) []string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	r, edit := goldenCase(string(text))
	if r.Pod, err = yaml.YAMLToJSON(text); err != nil {
		t.Fatal(err)
	}
	set := setOf(t, injector("default", "default", edit))
	result := set.Inject(t.Context(), r)
	checkPatch(t, r.Pod, &result)
	return strings.Split(strings.TrimSuffix(string(describe(t, &result)), "\n"), "\n")
}

// textDiff is what to take away from one text and to add for the other, after the line it follows in both.
func textDiff(a, b []string) []byte {
	common := make([][]int, len(a)+1) // of what is left of a and b from here, the longest common part
	for i := range common {
		common[i] = make([]int, len(b)+1)
	}
	for i, line := range slices.Backward(a) {
		for j, other := range slices.Backward(b) {
			common[i][j] = max(common[i+1][j], common[i][j+1])
			if line == other {
				common[i][j] = common[i+1][j+1] + 1
			}
		}
	}
	var out bytes.Buffer
	last, same := "", true
	say := func(mark, line string) {
		if same {
			out.WriteString("@@ " + strings.TrimSpace(last) + "\n")
		}
		out.WriteString(mark + line + "\n")
		same = false
	}
	for i, j := 0, 0; i < len(a) || j < len(b); {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			last, same = a[i], true
			i, j = i+1, j+1
		case j == len(b) || i < len(a) && common[i+1][j] >= common[i][j+1]:
			say("-", a[i])
			i++
		default:
			say("+", b[j])
			j++
		}
	}
	return out.Bytes()
}
