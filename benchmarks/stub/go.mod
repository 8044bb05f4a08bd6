module muster/stub

go 1.25
