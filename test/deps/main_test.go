package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestFindNamesEachMissingPackageOnce(t *testing.T) {
	have := func(program string) bool { return program != "containerd" && program != "gcc" && program != "runc" }
	missing := find(append(slices.Clone(needs), need{"ctr", "containerd", "images"}), have)
	if got, want := packagesOf(missing), []string{"containerd", "gcc", "runc"}; !slices.Equal(got, want) {
		t.Errorf("packages = %v, want %v", got, want)
	}
	if len(needs) != len(find(needs, func(string) bool { return false })) {
		t.Error("with nothing present, everything is missing")
	}
}

func TestDenyServicesLeavesNothingAndKeepsTheAdministratorsPolicy(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policy-rc.d")
	allow, err := denyServices(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode()&0o100 == 0 {
		t.Fatalf("policy in force: %v, %v; want an executable file", info, err)
	}
	allow()
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("after the installation: %v; want no file", err)
	}

	if err := os.WriteFile(path, []byte("own"), 0o600); err != nil {
		t.Fatal(err)
	}
	if allow, err = denyServices(path); err != nil {
		t.Fatal(err)
	}
	allow()
	if text, _ := os.ReadFile(path); string(text) != "own" {
		t.Errorf("the administrator's policy is %q, want it untouched", text)
	}
}
