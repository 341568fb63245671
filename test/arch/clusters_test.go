package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestClustersHaveOneUser: packages run beside each other, and what isn't in a namespace is everybody's. A cluster that
// two packages call by the same name is cleaned by one while the other works on it, or doesn't fit the second.
func TestClustersHaveOneUser(t *testing.T) {
	users := map[string]string{} // name of a cluster -> folder
	for folder, files := range testFolders(t) {
		names := clusterNames(files)
		for name := range names {
			if other, taken := users[name]; taken {
				t.Errorf("%s and %s both call a cluster %q; rename one", other, folder, name)
			}
			users[name] = folder
		}
	}
	if len(users) < 10 {
		t.Errorf("only %d clusters were found: %v", len(users), users)
	}
}

// testFolders are the parsed tests of each folder below test.
func testFolders(t *testing.T) map[string][]*ast.File {
	t.Helper()
	folders := map[string][]*ast.File{}
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		folders[filepath.Dir(path)] = append(folders[filepath.Dir(path)], file)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return folders
}

// clusterNames are the values of Name in testenv.Options and cluster.Options, where they stand there or in a constant.
func clusterNames(files []*ast.File) map[string]bool {
	constants, names := map[string]string{}, map[string]bool{}
	for _, file := range files {
		ast.Inspect(file, func(n ast.Node) bool {
			if spec, ok := n.(*ast.ValueSpec); ok && len(spec.Values) == 1 {
				constants[spec.Names[0].Name] = text(spec.Values[0], nil)
			}
			return true
		})
	}
	for _, file := range files {
		ast.Inspect(file, func(n ast.Node) bool {
			if literal, ok := n.(*ast.CompositeLit); ok && isOptions(literal.Type) {
				names[nameIn(literal, constants)] = true
			}
			return true
		})
	}
	delete(names, "")
	return names
}

func isOptions(expression ast.Expr) bool {
	selector, ok := expression.(*ast.SelectorExpr)
	if !ok || selector.Sel.Name != "Options" {
		return false
	}
	pkg, ok := selector.X.(*ast.Ident)
	return ok && (pkg.Name == "testenv" || pkg.Name == "cluster")
}

func nameIn(literal *ast.CompositeLit, constants map[string]string) string {
	for _, element := range literal.Elts {
		if pair, ok := element.(*ast.KeyValueExpr); ok {
			if key, ok := pair.Key.(*ast.Ident); ok && key.Name == "Name" {
				return text(pair.Value, constants)
			}
		}
	}
	return ""
}

// text is a string literal's or a constant's value, "" of anything else.
func text(expression ast.Expr, constants map[string]string) string {
	switch e := expression.(type) {
	case *ast.BasicLit:
		value, _ := strconv.Unquote(e.Value)
		return value
	case *ast.Ident:
		return constants[e.Name]
	}
	return ""
}
