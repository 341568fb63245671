package inject

import "testing"

func TestNormalTextHasWhatPodsSee(t *testing.T) {
	const text = "spec:\n  containers:\n  - name: a\n    args: [\"5\", '{{ 1 + 1 }}']\n"
	for _, c := range []struct {
		name, other string
		same        bool
	}{
		{"as it is", text, true},
		{"with comments", "# first\n" + "spec: # of a pod\n  containers:\n  # one\n  - name: a\n    args: [\"5\", '{{ 1 + 1 }}']\n# last\n", true},
		{"indented and quoted otherwise", "spec:\n    containers:\n      - name: \"a\"\n        args:\n        - '5'\n        - \"{{ 1 + 1 }}\"\n\n", true},
		{"with a number for a text", "spec:\n  containers:\n  - name: a\n    args: [5, '{{ 1 + 1 }}']\n", false},
		{"with another value", "spec:\n  containers:\n  - name: b\n    args: [\"5\", '{{ 1 + 1 }}']\n", false},
		{"with another expression", "spec:\n  containers:\n  - name: a\n    args: [\"5\", '{{ 1 + 2 }}']\n", false},
		{"with its keys in another order", "spec:\n  containers:\n  - args: [\"5\", '{{ 1 + 1 }}']\n    name: a\n", false},
		{"nested otherwise", "spec:\n  containers:\n  - name: a\n  - args: [\"5\", '{{ 1 + 1 }}']\n", false},
		{"unreadable", "spec: [", false},
	} {
		if same := normalText(text) == normalText(c.other); same != c.same {
			t.Errorf("the template %s: is the same is %t, want %t", c.name, same, c.same)
		}
	}
}
