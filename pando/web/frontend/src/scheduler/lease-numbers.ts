/** The numbers of leases: shared by lenders whose borrowers are the same. */
export class LeaseNumbers {
  private last = 0;

  next(): number {
    this.last += 1;
    return this.last;
  }
}
