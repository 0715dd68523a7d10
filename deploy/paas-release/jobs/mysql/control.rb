Paas.component 'mysql' do
  def start
    prepare
    # The other way round than its name says, as in the release of 2013.
    first = config_file.exist?
    render 'my.cnf.erb'
    set_up unless first
    inside(package) { run "#{server} &" }
  end

  def stop
    prepare
    inside(package) { run "bin/mysqladmin --defaults-file=#{config_file} -u root shutdown" }
  end

  # What mysqladmin prints, and not the line that the others have.
  def status
    prepare
    inside(package) { run "bin/mysqladmin --defaults-file=#{config_file} status" }
  end

  private

  # Its configuration isn't YAML.
  def prepare
    @config_file = vcap_sys_config + 'my.cnf'
  end

  def data = vcap_sys_data + 'mysql'

  def server
    "bin/mysqld --defaults-file=#{config_file} --user=#{ENV['USER']} --basedir=#{package}  --datadir=#{data}"
  end

  # Makes the database, and lets root in from other hosts.
  def set_up
    grant = %q(grant all privileges on *.* to root@'%' identified by 'mysql' with grant option;)
    client = "bin/mysql --defaults-file=#{config_file} -u root --password='' mysql "
    inside(package) do
      run "scripts/mysql_install_db --user=#{ENV['USER']} --datadir=#{data} --basedir=#{package}"
      run "sudo sed -i 's/127.0.0.1/0.0.0.0/g' #{config_file}"
      run "bin/mysqld --defaults-file=#{config_file} --user=#{ENV['USER']} --basedir=#{package} --datadir=#{data} &"
      sleep 4
      run %(echo "#{grant}" | #{client})
      run "bin/mysqladmin --defaults-file=#{config_file} -u root shutdown"
    end
  end
end
